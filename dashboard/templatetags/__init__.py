"""Template tags: `formatting` for values, `ui` for icons, states and forms."""
