"""What a single call cannot show: measures of lines, numbers and services over many calls, and what alarms."""
