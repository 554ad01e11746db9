"""Running a suite on a checkpoint: prepare -> samples -> execute -> score -> record.

run.py           ties it together; the manifest records how the run ended
prepare.py       everything that can be wrong with the input, before weights are loaded
samples.py       samples of a task: prompts from lm-eval, requests from `EngineLM`
execute.py       their requests through the engine, a window in flight
journal.py       every response on disk within a second
score.py         lm-eval's filters, metrics and aggregation over the samples with an answer
manifest.py      the manifest's counts and remarks
environment.py   versions and hardware
signals.py       Ctrl-C and SIGTERM
progress.py      what a person sees meanwhile; the output of libraries goes to the log
"""
