"""Running a suite on a checkpoint: prepare -> execute -> score -> finish.

`run` ties it together; `building` makes samples of tasks, `executing` sends their requests through the engine,
`journal` keeps every response, `scoring` applies lm-eval's metrics, `terminal` is what a person sees meanwhile.
"""
