"""Running a suite on a checkpoint: prepare -> execute -> score -> finish.

run.py           ties it together; whatever happens, the manifest tells it
preparing.py     all that can be wrong with the input, before weights are loaded
building.py      samples of a task: prompts from lm-eval, requests from `EngineLM`
executing.py     their requests through the engine, a window in flight
journal.py       every response on disk within a second
scoring.py       lm-eval's filters, metrics and aggregation over what has an answer
summarizing.py   the manifest's words and counts
environment.py   versions and hardware
interrupting.py  Ctrl-C and SIGTERM
terminal.py      what a person sees meanwhile; libraries' output goes to the log
"""
