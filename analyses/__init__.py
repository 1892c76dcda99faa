"""Statements about stored layer datasets: one file per question, and the report that joins them."""
