"""Terminal output: tables and notes."""
