"""Commands and their arguments; what they do lies in `labelwise.cli.commands`, imported when a command starts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from labelwise.cli.guard import guarded

app = typer.Typer(
    name="labelwise",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Learning when labels are imperfect: audit them, train the method that fits, prove that it beats the baseline.\n\n"
    "Exit codes: 0 done; 1 unexpected failure; 2 bad input, nothing was changed; "
    "3 the disk is full or cannot be written; 130 interrupted, add --resume to go on.",
)

Source = Annotated[str, typer.Argument(help="Table: csv, tsv, parquet, feather, jsonl, npz, or a folder of images.")]
Label = Annotated[
    str | None, typer.Option(help="Label column; several columns of 1, 0 and empty, 'a,b,c', for several labels a row.")
]
Text = Annotated[str | None, typer.Option(help="Text column.")]
Image = Annotated[str | None, typer.Option(help="Image column: paths or bytes.")]
Features = Annotated[str | None, typer.Option(help="Feature columns: 'a,b,c' or a pattern such as 'emb*'.")]
Votes = Annotated[
    str | None, typer.Option(help="Columns of annotators' or labelling functions' votes: 'a,b,c' or 'lf*'.")
]
Domain = Annotated[str | None, typer.Option(help="Column that names the source of a row.")]
Group = Annotated[str | None, typer.Option(help="Column of groups whose rows are never split between folds.")]
Weight = Annotated[str | None, typer.Option(help="Column of sample weights.")]
Trusted = Annotated[str | None, typer.Option(help="Column of true/false: labels known to be right.")]
Task = Annotated[str | None, typer.Option(help="classification or regression; read off the label by default.")]
Test = Annotated[str | None, typer.Option(help="Table of test rows, scored once at the end.")]
Pool = Annotated[str | None, typer.Option(help="Table of further unlabelled rows with the same columns.")]
Budget = Annotated[str, typer.Option(help="Time for the race: 90s, 5m, 1h; none for no limit.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
TextModel = Annotated[str | None, typer.Option(help="Sentence encoder: a folder or model name.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and no progress.")]
Out = Annotated[str | None, typer.Option(help="Directory of the run; runs/<table> by default.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted run, or start the next round of a complete one.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def _commands() -> Any:
    from labelwise.cli import commands

    return commands


@app.command("run")
@guarded
def run(
    table: Annotated[str, typer.Argument(help="Table: csv, tsv, parquet, feather, jsonl, npz, or a folder of images; "
                                              "with --resume also a complete run.")],
    label: Label = None, text: Text = None, image: Image = None, features: Features = None,
    votes: Votes = None, domain: Domain = None, group: Group = None, weight: Weight = None, trusted: Trusted = None,
    task: Task = None, test: Test = None, pool: Pool = None, budget: Budget = "5m", out: Out = None, seed: Seed = 0,
    metric: Annotated[str, typer.Option(help="What the race compares; auto chooses.")] = "auto",
    method: Annotated[list[str] | None, typer.Option(help="Race this method (repeatable), not the advised.")] = None,
    text_model: TextModel = None, resume: Resume = False,
    answers: Annotated[
        list[str] | None,
        typer.Option(help="With --resume: file of finished labels, a filled query table or a Label Studio or Argilla "
                          "export (repeatable)."),
    ] = None,
    label_cost: Annotated[float | None, typer.Option(help="Price of one label: the report tells what more labels cost.")]
    = None,
    overwrite: Overwrite = False, json: Json = False,
) -> None:  # fmt: skip
    """Audit a table, race methods against the baseline, train the winner, and write a report.

    With --resume, a complete run starts its next round: the labels filled into its queries.csv, and those of --answers,
    are added to what it knew.
    """
    _commands().run(
        json=json, source=table, label=label, text=text, image=image, features=features, votes=votes, domain=domain,
        group=group, weight=weight, trusted=trusted, task=task, test=test, budget=budget, out=out, seed=seed,
        metric=metric, methods=method, text_model=text_model, resume=resume, overwrite=overwrite, pool=pool,
        answers=answers or [], label_cost=label_cost,
    )  # fmt: skip


@app.command("audit")
@guarded
def audit(
    table: Annotated[str, typer.Argument(help="Table as for run; of Parquet also a folder of parts, of any size.")],
    label: Label = None, text: Text = None, image: Image = None, features: Features = None,
    votes: Votes = None, domain: Domain = None, group: Group = None, trusted: Trusted = None, task: Task = None,
    test: Test = None, out: Out = None, seed: Seed = 0, text_model: TextModel = None,
    stream: Annotated[
        str, typer.Option(help="Read Parquet by blocks: yes, no, or auto, where it takes a quarter of the free memory.")
    ] = "auto",
    engine: Annotated[
        str, typer.Option(help="What works on the blocks: local (all cores) or ray (pip install 'labelwise[scale]').")
    ] = "local",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted audit.")] = False,
    overwrite: Overwrite = False, json: Json = False,
) -> None:  # fmt: skip
    """Look at the labels only: findings, flagged rows and a report, without training anything.

    A Parquet table larger than memory is read by blocks, in flat memory; --resume goes on after an interruption.
    """
    from labelwise.cli import auditing

    auditing.run_audit(
        json=json, source=table, label=label, text=text, image=image, features=features, votes=votes, domain=domain,
        group=group, trusted=trusted, task=task, test=test, out=out, seed=seed, text_model=text_model, stream=stream,
        engine=engine, resume=resume, overwrite=overwrite,
    )  # fmt: skip


@app.command("fit")
@guarded
def fit(
    table: Source,
    method: Annotated[str, typer.Option(help="Name of the method: see `labelwise methods`.")],
    label: Label = None, text: Text = None, image: Image = None, features: Features = None, votes: Votes = None,
    weight: Weight = None, task: Task = None,
    param: Annotated[list[str] | None, typer.Option(help="A setting of the method, name=value (repeatable).")] = None,
    out: Annotated[str, typer.Option(help="Directory of the model.")] = "model",
    seed: Seed = 0, text_model: TextModel = None, overwrite: Overwrite = False, json: Json = False,
) -> None:  # fmt: skip
    """Train one method on a table and save the model."""
    _commands().fit(
        json=json, method=method, params=param or [], out=out, overwrite=overwrite, source=table, label=label, text=text,
        image=image, features=features, votes=votes, weight=weight, task=task, seed=seed, text_model=text_model,
    )  # fmt: skip


@app.command("predict")
@guarded
def predict(
    model: Annotated[str, typer.Argument(help="A model directory, or a run with one.")],
    table: Source,
    out: Annotated[str, typer.Option(help="File to write: .parquet, .csv or .jsonl.")] = "predictions.parquet",
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Predict every row of a table: prediction, confidence and one proba_<class> column a class."""
    _commands().predict(model, table, out, overwrite=overwrite, json=json)


@app.command("adapt")
@guarded
def adapt(
    model: Annotated[str, typer.Argument(help="A run, or a model directory with --source.")],
    table: Annotated[str, typer.Argument(help="Table of unlabelled rows of the new place.")],
    out: Annotated[str | None, typer.Option(help="Directory of the adapted model; MODEL-adapted by default.")] = None,
    source: Annotated[
        str | None, typer.Option(help="Labelled rows of the old place that the model was not trained on; a run has them.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label column of --source.")] = None,
    seed: Seed = 0, overwrite: Overwrite = False, json: Json = False,
) -> None:  # fmt: skip
    """Say how another place differs from the old one, adapt the model where that helps, and say when labels are needed.

    The adapted model and the predictions of TABLE are written together; where nothing helps, nothing is written.
    """
    from labelwise.cli import adapting

    adapting.adapt(model, table, out, source=source, label=label, seed=seed, overwrite=overwrite, json=json)


@app.command("query")
@guarded
def query(
    run: Annotated[str, typer.Argument(help="A run directory.")],
    n: Annotated[int, typer.Option("--n", help="How many rows.")] = 20,
    out: Annotated[str | None, typer.Option(help="File to fill in or to import; printed if not given.")] = None,
    strategy: Annotated[
        str,
        typer.Option(help="run (its own ranking), margin, diverse-margin, entropy, least-confidence, badge, core-set, "
                          "k-means, weighted-k-means, typical or random."),
    ] = "run",
    tool: Annotated[str | None, typer.Option(help="Whom the file is for: csv, label-studio or argilla.")] = None,
    per_group: Annotated[int | None, typer.Option(help="Most rows of a group.")] = None,
    cost: Annotated[str | None, typer.Option(help="Column of the price of a row's label.")] = None,
    spend: Annotated[float | None, typer.Option(help="Most that the rows may cost together.")] = None,
    suggest: Annotated[bool, typer.Option(help="Show annotators of a tool the model's prediction.")] = True,
    gain: Annotated[bool, typer.Option("--gain", help="Estimate what these labels will bring: go on or stop?")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Simulate strategies against random on the labels there are.")
    ] = False,
    overwrite: Overwrite = False, json: Json = False,
) -> None:  # fmt: skip
    """Say which rows to label, or to check, next; hand them to a person or a labelling tool."""
    _commands().query(
        run, n, out, strategy=strategy, tool=tool, per_group=per_group, cost=cost, spend=spend, suggest=suggest,
        gain=gain, compare=compare, overwrite=overwrite, json=json,
    )  # fmt: skip


@app.command("forget")
@guarded
def forget(
    model: Annotated[str, typer.Argument(help="A complete run, or a model directory with --table.")],
    rows: Annotated[
        str | None, typer.Option(help="File of the rows to forget: values of --id, or row numbers from 0.")
    ] = None,
    id: Annotated[str | None, typer.Option(help="Column that names a row.")] = None,
    class_: Annotated[list[str] | None, typer.Option("--class", help="Forget a whole class (repeatable).")] = None,
    domain: Annotated[list[str] | None, typer.Option(help="Forget a whole domain (repeatable).")] = None,
    method: Annotated[
        str, typer.Option(help="How: Retrain is exact; others of the room `unlearning` are faster.")
    ] = "Retrain",
    param: Annotated[list[str] | None, typer.Option(help="A setting of the method, name=value (repeatable).")] = None,
    compare: Annotated[bool, typer.Option(help="Also retrain without the rows, to compare with.")] = True,
    test: Annotated[str | None, typer.Option(help="Table of labelled rows the model never saw.")] = None,
    table: Annotated[str | None, typer.Option(help="Of a model that is no run: the table it was trained on.")] = None,
    label: Label = None, text: Text = None, image: Image = None, features: Features = None,
    domain_column: Annotated[str | None, typer.Option(help="With --table: its column of domains.")] = None,
    out: Annotated[str, typer.Option(help="Directory of the new model and its certificate.")] = "forgotten",
    seed: Seed = 0, overwrite: Overwrite = False, json: Json = False,
) -> None:  # fmt: skip
    """Withdraw rows, a class or a domain from a model, and certify it against retraining; the old model stays."""
    from labelwise.cli import forgetting

    forgetting.forget(
        model, rows=rows, id=id, classes=class_ or [], domains=domain or [], table=table, method=method,
        params=param or [], compare=compare, test=test, out=out, overwrite=overwrite, seed=seed, json=json, label=label,
        text=text, image=image, features=features, domain=domain_column,
    )  # fmt: skip


@app.command("methods")
@guarded
def methods(
    handles: Annotated[
        str | None, typer.Option(help="Label problem: noise, few labels, votes, label shift ...")
    ] = None,
    task: Annotated[str | None, typer.Option(help="classification, regression or multi-label.")] = None,
    room: Annotated[str | None, typer.Option(help="noisy, semi_supervised, weak, shift ...")] = None,
    kind: Annotated[str | None, typer.Option(help="learner, estimator, post-hoc, loss or diagnostic.")] = None,
    run: Annotated[
        str | None, typer.Option(help="A run: which methods raced there, and why the others did not.")
    ] = None,
    json: Json = False,
) -> None:
    """List the methods, and filter them; with --run, say why each raced there or did not."""
    _commands().methods(handles=handles, task=task, room=room, kind=kind, run=run, json=json)


@app.command("papers")
@guarded
def papers(json: Json = False) -> None:
    """List all papers: where each lives, its claim's verdict, or "not yet"."""
    _commands().papers(json=json)


@app.command("report")
@guarded
def report(run: Annotated[str, typer.Argument(help="A run directory.")]) -> None:
    """Write a run's report.html again."""
    _commands().report(run)


@app.command("export")
@guarded
def export(
    run: Annotated[str, typer.Argument(help="A run directory, or a model directory.")],
    onnx: Annotated[str | None, typer.Option(help="ONNX file to write.")] = None,
    overwrite: Overwrite = False, json: Json = False,
) -> None:  # fmt: skip
    """Write a run's model as an ONNX file, checked against onnxruntime."""
    from labelwise.cli import exporting

    exporting.export(run, onnx=onnx, overwrite=overwrite, json=json)


@app.command("review")
@guarded
def review(
    run: Annotated[str, typer.Argument(help="Directory of a complete run.")],
    port: Annotated[int | None, typer.Option(help="Port of the page; 8765 or the next free; 0 takes any.")] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    annotator: Annotated[str | None, typer.Option(help="Your name; the login name by default.")] = None,
    export: Annotated[
        str | None, typer.Option(help="Write the corrected table (.csv, .parquet) or Label Studio tasks (.json), and end.")
    ] = None,
    import_: Annotated[
        str | None, typer.Option("--import", help="Take in labels of a Label Studio or Argilla export or a table, and end.")
    ] = None,
    overwrite: Overwrite = False, json: Json = False,
) -> None:  # fmt: skip
    """Confirm or correct flagged labels and answer queries on a local page; `run RUN --resume` uses the decisions."""
    from labelwise.cli import reviewing

    reviewing.review(
        run, port=port, browser=browser, annotator=annotator, export=export, import_=import_, overwrite=overwrite,
        json=json,
    )  # fmt: skip


@app.command("demo")
@guarded
def demo(
    data: Annotated[str, typer.Option(help="banking77, youtube or wine.")] = "banking77",
    budget: Budget = "60s",
    out: Annotated[str, typer.Option(help="Directory of the run.")] = "runs/demo",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Do the main job on a real data set that ships in the package."""
    _commands().demo(data, budget=budget, out=out, seed=seed, json=json)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context, show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Print the version when asked."""
    if show:
        from labelwise import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()
