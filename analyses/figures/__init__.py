"""The figures, one file each: a table made from a dataset, and a drawing made from that table."""
