"""What is printed: tables and the words under them."""
