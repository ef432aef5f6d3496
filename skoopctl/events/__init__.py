"""Events of nodes with names in place of numbers: whose it is, what it means, how often it happened."""
