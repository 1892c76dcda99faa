"""A smaller network out of a measured one: what to truncate, built, compared, kept."""
