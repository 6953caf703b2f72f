"""Pure arithmetic: parameters of rates, prices, proration, and the lines they become. No framework, no clock."""
