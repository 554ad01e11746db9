"""Running a suite on a checkpoint: prepare -> samples -> execute -> score -> record.

run.py          ties it together; whatever happens, the manifest tells it
prepare.py      all that can be wrong with the input, before weights are loaded
samples.py      samples of a task: prompts from lm-eval, requests from `EngineLM`
execute.py      their requests through the engine, a window in flight
journal.py      every response on disk within a second
score.py        lm-eval's filters, metrics and aggregation over what has an answer
manifest.py     the manifest's words and counts
environment.py  versions and hardware
signals.py      Ctrl-C and SIGTERM
progress.py     what a person sees meanwhile; libraries' output goes to the log
"""
