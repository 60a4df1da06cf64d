"""`python -m sim flat`: whether a call costs the same however many lines are known and however many calls are up."""
