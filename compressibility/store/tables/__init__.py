"""What is measured, a table each."""
