"""What readers see: one module for each read model, a pure fold of events into rows, with its table beside it."""
