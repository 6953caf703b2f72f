"""An invoice as a customer keeps it: PDF (Typst) and CSV."""
