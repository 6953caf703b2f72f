"""The FOCUS 1.2 dataset of our charges: how an invoice maps to it, and the specification's rules, checked."""
