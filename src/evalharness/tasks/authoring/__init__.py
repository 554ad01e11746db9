"""For whoever writes a task: listing what there is, making a new one, examining it."""
