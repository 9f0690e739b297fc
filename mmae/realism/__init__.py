"""How much a simulated survey looks like the real sky: a section a module, and `report` of them all."""
