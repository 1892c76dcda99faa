"""An experiment measured: its tasks, who does them, and the dataset they become."""
