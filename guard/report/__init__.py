"""Pages for people on paper: the monthly statement, the dossier of a contest. Text out, nothing read."""
