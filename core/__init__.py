"""The shared ground: actors, the clock, errors, ids, money, periods, states. No tables, no word of the business."""
