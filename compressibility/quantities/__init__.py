"""What is measured of a subject: one module beside each table of the store."""
