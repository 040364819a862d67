"""How good a model is: a click simulator, Dice per click, tables."""
