"""An invoice as a customer keeps it: PDF (Typst), CSV, XLSX, JSON and FOCUS."""
