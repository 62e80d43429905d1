"""The jobs of `python -m benchmarks`: what each measures, and its cases or the lines of its page."""

from benchmarks import (
    article_job,
    deep_chain,
    eager,
    elementwise,
    estimators,
    first_step,
    fit_article,
    functions,
    guards,
    import_time,
    install,
    kernels,
    memory,
    products,
    read_csv,
    recording,
    second_call,
    shares,
    step_gpu,
    steps,
    sweep,
)

JOBS = {
    **{name: (job.doc, steps.cases(name, job)) for name, job in steps.JOBS.items()},
    **{
        module.__name__.rpartition(".")[2]: (module.__doc__, module.CASES)
        for module in (
            *(second_call, first_step, fit_article, article_job, import_time, memory, sweep, deep_chain),
            *(recording, guards, products, eager, elementwise, read_csv, estimators),
        )
    },
    "gpu": (step_gpu.__doc__, step_gpu.CASES),
}
# What is measured or shown without contestants: lines of a page.
PAGES = {
    module.__name__.rpartition(".")[2]: (module.__doc__, module.lines)
    for module in (install, functions, kernels, shares)
}
LEFT_OUT = ("gpu", "functions", "shares")  # of a run that names no jobs
