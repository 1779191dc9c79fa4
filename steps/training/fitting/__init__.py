"""How weights are found: the loop, the closed form, what is written down on the way, when it is given up."""
