"""The report: a page of findings, a page for each dataset, and every number beside them."""
