"""What a serving container is told: its image, its settings, what is wrong with them, and settings that are right."""
