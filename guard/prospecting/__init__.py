"""What canvassing rests on: lists of numbers (consents, refusals …), days and hours, French public holidays."""
