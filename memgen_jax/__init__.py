"""Does a diffusion model copy its training data, invent, or something between?

Rooms, from the ground up; an import only ever goes down this list:

  data, models, diffusion, memory, neighbors, phases, onset, report   pure functions on arrays
  sweep, geometry, bridges, audit                                      machinery: devices, files, other frameworks
  cli (and experiments/ beside the package)                            programs
"""

__version__ = "0.1.0"
