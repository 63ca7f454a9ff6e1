"""``codegen.Trainer``: a loss, parameters and an optimizer, trained by one compiled loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from symdiff import optimizers
from symdiff.binding import (
    SymbolDict,
    bind,
    broadcast_shape,
    by_symbol,
    check_names,
    check_sizes,
    numbers,
    symbolic_dimensions,
    unify,
)
from symdiff.bridge import describe, to_graph
from symdiff.errors import (
    BindingError,
    InvalidArgument,
    InvalidType,
    ShapeError,
)
from symdiff.gradient import derived, parameter_nodes
from symdiff.graph import Node, leaves
from symdiff.init import Initializer
from symdiff.language import as_expression
from symdiff.modes import in_training, mode_leaves, moving_values, settle
from symdiff.resolve import resolve
from symdiff.rewrite import algebra, stabilise
from symdiff.shapes import Size, concrete_shape, text

from .bound import Bound, is_known, mentions, start_value, warn_not_finite
from .compact import CompactKernel, compact_kernel
from .data import Batches, Plan, plan_batches
from .history import History
from .kernel import (
    FunctionKernel,
    Options,
    check_for_device,
    choose_rows,
    dtype_name,
    in_cheapest_order,
    powers_of_two,
)
from .labels import check_labels
from .launch import check_threads
from .loop import Loop
from .profile import Profile, profile_run
from .roll import Vectors, roll, rolled_parameters, side_by_side
from .run import Shares
from .schedule import FEW_ROWS
from .schedule_report import ScheduleReport
from .training import Step, TrainingKernel
from .update import COUNT, UpdateRule
from .vectorise import is_scalar, over_samples, vectorise

Callback = Callable[["Trainer", History], Any]


class Trainer:
    """Trains the parameters of a loss.

    Parameters
    ----------
    loss : sympy.Expr
        A scalar. A loss whose data are plain scalar symbols is the loss of one sample.
    parameters : dict
        ``{symbol: start}``: an array, a number, or an initialiser of ``symdiff.init``.
        Whatever else the loss contains is data.
    optimizer : symdiff.optimizers.Optimizer, optional
        By default ``Adam()``.
    dtype : {"float64", "float32"}
    target : {"cpu", "cuda"}
        "cuda" trains on a GPU and needs ``symdiff[cuda]``.
    seed : int
        For initialisers and shuffling: the same seed gives the same bits.
    threads : int, optional
        At most this many; the results do not depend on it.
    reduction : {"mean", "sum"}
        How the losses of samples combine where the loss is that of one sample.
    math : {"fast", "accurate"}
    precision : {"full", "tf32"}
        On a GPU, "tf32" lets tensor cores compute the large products of float32 matrices: what is
        multiplied is rounded to ten bits after the point, and sums are float32.

    Attributes
    ----------
    parameters : dict
        ``{symbol: array}``, copies of the current values.
    source : str
        The generated kernel as readable Python.
    derivation : symdiff.derivation.Derivation
        The steps that lead from the loss to its gradients.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd, codegen
    >>> a, x, y = sp.symbols("a x y")
    >>> trainer = codegen.Trainer((a * x - y) ** 2, {a: 0.0}, sd.optimizers.SGD(0.1))
    >>> history = trainer.fit({x: [1.0, 2.0, 3.0], y: [2.0, 4.0, 6.0]}, epochs=50)
    >>> round(float(trainer.parameters[a]), 6)
    2.0
    """

    def __init__(
        self,
        loss: Any,
        parameters: Mapping[Any, Any],
        optimizer: optimizers.Optimizer | None = None,
        dtype: Any = "float64",
        target: str = "cpu",
        seed: int = 0,
        threads: int | None = None,
        reduction: str = "mean",
        math: str = "fast",
        precision: str = "full",
    ) -> None:
        if not isinstance(parameters, Mapping):
            raise InvalidType(
                f"parameters are given as {{symbol: start}}, got {type(parameters).__name__}"
            )
        if not parameters:
            raise InvalidArgument("there are no parameters to train")
        if reduction not in ("mean", "sum"):
            raise InvalidArgument(f"reduction must be 'mean' or 'sum', got {reduction!r}")
        optimizer = optimizers.Adam() if optimizer is None else optimizer
        if not isinstance(optimizer, optimizers.Optimizer):
            raise InvalidType(
                f"optimizer must come from sd.optimizers, got {type(optimizer).__name__}; "
                "call the class: sd.optimizers.Adam(1e-3)"
            )
        self._loss = as_expression(loss)
        self._start = dict(parameters)
        self._optimizer = optimizer
        self._options = Options(dtype_name(dtype), target, math, precision)
        self._threads = check_threads(threads)
        self._seed = seed
        self._reduction = reduction
        self._prepare()
        self.reset()

    # --- construction --------------------------------------------------------------------

    def _prepare(self) -> None:
        root = to_graph(self._loss)
        if root.shape:
            raise ShapeError(
                f"a loss must be a scalar, got {describe(root)} with shape {text(root.shape)}; "
                "take sd.sum or sd.mean of it"
            )
        if root.dtype == "bool":
            raise InvalidType(f"a loss must be a number, got the condition {self._loss}")
        (whole,) = stabilise([root])
        (self._root,) = settle([whole])
        moving = moving_values([whole])
        self._training_root, *values = in_training([whole, *moving.values()])
        self._moving = dict(zip(moving, values, strict=True))
        modes = set(mode_leaves([root]))
        present = [n for n in leaves(resolve([root])) if n not in modes]
        self._start = dict(by_symbol(self._start, present))
        given, _ = parameter_nodes(list(self._start))
        self._trained = [n for n in given if n not in moving]
        self._parameters = [*self._trained, *(n for n in given if n in moving)]
        absent = [str(n.attributes[0]) for n in self._trained if n not in present]
        if len(absent) == len(self._trained):
            raise BindingError(f"the loss does not contain the parameters {', '.join(absent)}")
        self._layout = side_by_side([self._training_root], self._trained)
        chosen = set(self._parameters)
        self._data = [n for n in present if n not in chosen]
        self._symbols = [*self._parameters, *self._data]
        unknown = [str(n.attributes[0]) for n in self._moving if n not in chosen]
        if unknown:
            raise BindingError(
                f"the loss holds the moving averages {', '.join(unknown)}: list them, with where "
                "they start, among the parameters (a layer does so in layer.parameters)"
            )
        self._rule = UpdateRule(self._optimizer)
        self._kernels: dict[Any, TrainingKernel | CompactKernel] = {}
        self._graphs: dict[Any, TrainingKernel] = {}
        self._likely: dict[Size, int] = {}
        self._functions: dict[Any, tuple[FunctionKernel, list[Node], Vectors]] = {}
        self._current: TrainingKernel | CompactKernel | None = None
        self._fitted: tuple[TrainingKernel | CompactKernel, Shares] | None = None

    def reset(self) -> None:
        """Start anew: parameters, optimizer state, step count and random stream."""
        self._random = np.array(
            [np.random.SeedSequence(self._seed).generate_state(1, np.uint64)[0]]
        )
        self._steps = 0
        self._epochs = 0
        self._history: History | None = None
        self._sizes: dict[Size, int] = {}
        self._flat: np.ndarray | None = None
        known = self._known_sizes()
        if all(is_known(n.shape, known) for n in self._parameters):
            self._initialise(known)

    @property
    def _mask_seed(self) -> int:
        """The value of ``sd.seed``: the seed itself, where it is an int."""
        if isinstance(self._seed, (int, np.integer)):
            return int(self._seed) % 2**63
        return int(np.random.SeedSequence(self._seed).generate_state(1, np.uint64)[0] >> 1)

    def _known_sizes(self) -> dict[Size, int]:
        """Sizes that the starts of the parameters tell."""
        sizes: dict[Size, int] = {}
        origin: dict[Size, str] = {}
        for node in self._parameters:
            symbol = node.attributes[0]
            start = self._start[symbol]
            if not isinstance(start, Initializer) and np.ndim(start) > 0:
                unify(symbol, node.shape, np.shape(start), sizes, origin)
        return sizes

    def _initialise(self, sizes: dict[Size, int]) -> None:
        rng = np.random.default_rng(self._seed)
        parts = []
        self._shapes: list[tuple[int, ...]] = []
        position = 0
        values = {}
        for node in self._parameters:
            shape = concrete_shape(node.shape, sizes)
            self._shapes.append(shape)
            values[node] = start_value(
                node.attributes[0], self._start[node.attributes[0]], shape, rng
            )
        places = {}
        for node in [*self._layout, *self._parameters[len(self._trained) :]]:
            places[node] = position
            parts.append(values[node].ravel())
            position += values[node].size
        self._slots = [places[node] for node in self._parameters]
        self._flat = np.concatenate(parts).astype(self._options.dtype)
        trained = sum(int(np.prod(s)) for s in self._shapes[: len(self._trained)])
        self._state = self._rule.start(trained, self._options.dtype)
        self._sizes = {
            s: v for s, v in sizes.items() if any(mentions(n, s) for n in self._parameters)
        }

    # --- what a user reads ---------------------------------------------------------------

    @property
    def parameters(self) -> dict[Any, Any]:
        """Copies of the current values by symbol."""
        flat = self._started()
        result = SymbolDict()
        for node, slot, shape in zip(self._parameters, self._slots, self._shapes, strict=True):
            value = flat[slot : slot + int(np.prod(shape))].reshape(shape).copy()
            result[node.attributes[0]] = value[()] if value.ndim == 0 else value
        return result

    def _started(self) -> np.ndarray:
        if self._flat is None:
            unknown = [str(n.attributes[0]) for n in self._parameters
                       if not is_known(n.shape, self._known_sizes())]  # fmt: skip
            raise BindingError(
                f"the sizes of {', '.join(unknown)} are not known before the first fit: "
                "give start arrays, or fit first"
            )
        return self._flat

    @property
    def derivation(self) -> Any:
        """The steps that lead from the loss to its gradients, and the products reordered."""
        from symdiff.derivation import derive

        derivation = derive(self._loss, [n.attributes[0] for n in self._trained])
        if self._options.math == "accurate":
            return derivation
        _, rows = self._sampled(frozenset())
        return derivation.in_cheapest_order(rows, self._likely)

    @property
    def source(self) -> str:
        """The kernel of the last fit, or that of a fit in batches before any."""
        return self.kernel.source

    @property
    def kernel(self) -> TrainingKernel | CompactKernel:
        """What :attr:`source` is the text of."""
        if self._current is None:
            vectors = self._data if self._per_sample(self._data) else []
            _, rows = self._sampled(frozenset(vectors))
            self._current = self._kernel(frozenset(vectors), rows, rows is not None)
        return self._current

    def report(self, path: str | Path, history: History | None = None) -> Path:
        """Write one HTML page with all there is to see; it needs no network and no other file.

        Formulas, explanations, graph, steps and operation counts of the derivation, the recorded
        losses and metrics, the parameters, and the loop with the formula beside each line.

        Parameters
        ----------
        path : str or path
            The file, in a directory that exists; it is replaced in one piece.
        history : History, optional
            Whose losses are drawn; by default those of the last fit.

        Returns
        -------
        Path
            That of the file.
        """
        from symdiff.report import write

        from .report import training_page

        shown = history if history is not None else self._history
        return write(path, training_page(self, shown))

    @property
    def schedule(self) -> ScheduleReport:
        """How the kernel of the last fit runs: which axes are tiled, unrolled and vectorised.

        What goes to threads, and the reason for each decision. It prints as text.

        Raises
        ------
        InvalidArgument
            Before any fit: the schedule depends on the sizes of the data.
        """
        if self._fitted is None:
            raise InvalidArgument("the schedule depends on the sizes of the data: fit first")
        kernel, shares = self._fitted
        return kernel.schedule(shares)

    @property
    def optimizer(self) -> optimizers.Optimizer:
        """The update rule."""
        return self._optimizer

    @property
    def _numbers(self) -> dict[Node, int]:
        """The trained parameters without axes, and where they lie."""
        return {n: k for n, k in zip(self._trained, self._slots, strict=False) if not n.shape}

    # --- kernels -------------------------------------------------------------------------

    def _per_sample(self, nodes: Sequence[Node]) -> bool:
        return bool(nodes) and is_scalar([self._root])

    def _sampled(self, vectors: frozenset[Node]) -> tuple[dict[Node, Node], Any]:
        """Data symbols as leaves of the kernel, and the size that counts samples."""
        _, mapping = vectorise([], vectors)
        nodes = {n: mapping.get(n, n) for n in self._data}
        fixed = {s for n in self._parameters for d in n.shape if not isinstance(d, int)
                 for s in d.free_symbols}  # fmt: skip
        rows = choose_rows([n for n in nodes.values() if not n.shape or n.shape[0] not in fixed])
        return nodes, rows

    def _reduced(self, vectors: frozenset[Node]) -> Node:
        """The loss that is minimised: over samples where the loss is that of one."""
        return self._over_samples(self._root, vectors)

    def _over_samples(self, root: Node, vectors: frozenset[Node]) -> Node:
        if not vectors:
            return root
        (root,), _ = vectorise([root], vectors)
        return over_samples(root, self._reduction)

    def _kernel(
        self,
        vectors: frozenset[Node],
        rows: Any,
        gathered: bool,
        sizes: Mapping[Size, int] | None = None,
        batches: Batches | None = None,
    ) -> TrainingKernel | CompactKernel:
        """The kernel for data of a kind; a small model has one for each size of a batch."""
        fixed = frozenset((s, v) for s, v in (sizes or {}).items() if s != rows)
        key = (vectors, rows, gathered, fixed, batches)
        likely = dict(sizes or {})
        if batches is not None and rows is not None:
            likely[rows] = batches.largest
        self._likely = powers_of_two(likely)
        few = batches is None or batches.largest <= FEW_ROWS
        if key not in self._kernels:
            nodes, _ = self._sampled(vectors)
            self._started()
            averages = self._parameters[len(self._trained) :]
            (loss, *moving), rolled = roll(
                [self._over_samples(self._training_root, vectors),
                 *(self._moving[n] for n in averages)],
                self._numbers,
            )  # fmt: skip
            trained, places = rolled_parameters(self._trained, self._slots, rolled)
            (loss,) = algebra([loss])
            used = set(leaves([loss, *moving]))
            graph = [loss, *derived(loss, trained).gradients, *algebra(moving)]
            graph = in_cheapest_order(graph, rows, self._options, self._likely)
            step = Step(
                graph[0], graph[1:], [*trained, *averages],
                [*places, *self._slots[len(self._trained) :]],
                [n for n in nodes.values() if n in used], rows, gathered, self._rule,
                self._options, f"{self._optimizer.name}: {describe(self._root, 200)}", few,
                {**self._likely, COUNT: self._started().size},
            )  # fmt: skip
            kernel: TrainingKernel | CompactKernel | None = None
            if sizes is not None and batches is not None:
                kernel = compact_kernel(step, sizes, batches, self._started().size)
            if kernel is None:
                known = frozenset(self._likely.items()) if self._options.on_device else None
                same = (vectors, rows, gathered, few, known, *graph)
                if same not in self._graphs:
                    self._graphs[same] = TrainingKernel(step)
                kernel = self._graphs[same]
            self._kernels[key] = kernel
        self._current = self._kernels[key]
        return self._current

    # --- training ------------------------------------------------------------------------

    def fit(
        self,
        data: Mapping[Any, Any] | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        shuffle: bool = True,
        *,
        steps: int | None = None,
        order: Any = None,
        record: str = "epoch",
        validation: Mapping[Any, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        progress: bool = False,
        callback: Callback | None = None,
    ) -> History:
        """Train; a second call goes on where the first one stopped.

        Parameters
        ----------
        data : dict
            ``{symbol: array}`` for every symbol of the loss that is not a parameter.
        epochs : int, default 1
            Passes through the data; 0 changes nothing.
        batch_size : int, optional
            Samples per step, by default all. A last smaller batch is used.
        shuffle : bool
            Shuffle the samples before every epoch (where a batch is not all of them).
        steps : int, optional
            The number of steps, in place of ``epochs``.
        order : int array (steps, batch) or list of 1-D int arrays, optional
            The samples of every step, used as they are.
        record : {"epoch", "step"}
            With ``"step"`` the history holds the loss of each step's batch at the parameters
            before its update.
        validation : dict, optional
            Data on which loss and metrics are computed after every epoch.
        metrics : dict, optional
            ``{name: expression}``, computed after every epoch on the training data, and as
            ``val_`` + name on the validation data.
        progress : bool
            Show a progress bar.
        callback : callable, optional
            Called as ``callback(trainer, history)`` after every epoch; training stops where it
            returns True.

        Returns
        -------
        History
        """
        if record not in ("epoch", "step"):
            raise InvalidArgument(f"record must be 'epoch' or 'step', got {record!r}")
        bound = self._bind(data if data is not None else {})
        plan = plan_batches(bound.samples, epochs, steps, batch_size, shuffle, order)
        checked = self._bind(validation) if validation is not None else None
        self._check_batches(bound, plan)
        if self._options.on_device:  # before anything starts
            check_for_device([self._metric(e, bound) for e in (metrics or {}).values()])
        history = History(unit=record)
        if plan.steps == 0:
            return history
        self._history = history
        batches = plan.batches
        kernel = self._kernel(bound.vectors, bound.rows, plan.gathered, bound.sizes, batches)
        flat = self._started()
        run = kernel.bind(
            bound.arrays,
            bound.sizes,
            flat,
            self._state,
            self._threads,
            batches.largest,
            self._mask_seed,
        )
        self._fitted = kernel, run.shares
        watch = bool(metrics) or checked is not None or callback is not None
        loop = Loop(self, run, plan, history, record, watch, progress)
        for _ in loop.epochs():
            self._watch(history, bound, checked, metrics or {})
            if callback is not None and callback(self, history):
                break
        return history

    def profile(
        self,
        data: Mapping[Any, Any] | None = None,
        batch_size: int | None = None,
        shuffle: bool = True,
        *,
        order: Any = None,
    ) -> Profile:
        """Measure a training step: time, operations and memory traffic of each phase.

        Nothing of the trainer changes: the steps are run on copies. A phase is a function of
        ``trainer.source``; a small model has one, the whole step.

        Parameters
        ----------
        data, batch_size, shuffle, order
            As for ``fit``: the step that is measured is one of that fit.

        Returns
        -------
        Profile
            Prints as a table: for one thread and for all, each phase with the share that it
            reaches of this machine's peaks, which are measured, and with what bounds it.

        Raises
        ------
        InvalidArgument
            Where the trainer is for a GPU.
        """
        if self._options.on_device:
            raise InvalidArgument(
                "profile measures threads of the processor: train with target='cpu' for it; on a "
                "GPU NVIDIA's nsys and ncu measure kernels"
            )
        kept = {k: v for k, v in self.__dict__.items() if k not in ("_kernels", "_graphs")}
        try:
            bound = self._bind(data if data is not None else {})
            steps = None if order is not None or bound.samples is not None else 1
            plan = plan_batches(bound.samples, None, steps, batch_size, shuffle, order)
            self._check_batches(bound, plan)
            batches = plan.batches
            kernel = self._kernel(bound.vectors, bound.rows, plan.gathered, bound.sizes, batches)
            if isinstance(kernel, TrainingKernel):
                kernel = TrainingKernel(kernel.step, clocked=True)
            run = kernel.bind(
                bound.arrays, bound.sizes, self._started().copy(), self._state.copy(),
                self._threads, batches.largest, self._mask_seed,
            )  # fmt: skip
            return profile_run(kernel, run, plan, self._random.copy(), self._threads)
        finally:
            self.__dict__.update(kept)

    def _watch(
        self, history: History, bound: Bound, checked: Bound | None, metrics: Mapping[str, Any]
    ) -> None:
        if metrics:
            for name, value in self._measure(bound, metrics, loss=False).items():
                history.append(name, value)
        if checked is not None:
            for name, value in self._measure(checked, metrics, loss=True).items():
                history.append(f"val_{name}", value)

    def _check_batches(self, bound: Bound, plan: Plan) -> None:
        if bound.samples is None or (plan.per_pass == 1 and not plan.gathered):
            return
        for node in bound.arrays:
            for axis, d in enumerate(node.shape):
                if axis > 0 and not isinstance(d, int) and bound.rows in d.free_symbols:
                    raise InvalidArgument(
                        f"batches are taken along the first axis, but {node.attributes[0]} has "
                        f"shape {text(node.shape)}: put the axis {bound.rows} first, or train on "
                        "all samples at once (batch_size=None)"
                    )

    def _bind(self, data: Mapping[Any, Any]) -> Bound:
        data = by_symbol(data, self._data)
        check_names(self._data, data)
        vectors: frozenset[Node] = frozenset()
        if self._per_sample(self._data):
            vectors = frozenset(n for n in self._data if np.ndim(data[n.attributes[0]]) > 0)
        nodes, rows = self._sampled(vectors)
        arrays, sizes = bind(
            list(nodes.values()), data, dtype=self._options.dtype, roots=(), known=self._sizes
        )
        if self._flat is None:
            self._initialise({**self._known_sizes(), **sizes})
        check_sizes(symbolic_dimensions([self._root]), sizes)
        warn_not_finite(arrays)
        check_labels([self._root], self._data, nodes, arrays, sizes)
        samples = sizes[rows] if rows is not None else None
        return Bound(arrays, sizes, vectors, rows, samples)

    def evaluate(
        self, data: Mapping[Any, Any], metrics: Mapping[str, Any] | None = None
    ) -> dict[str, float]:
        """The loss and metrics on data, by name: ``{"loss": …, "accuracy": …}``."""
        return self._measure(self._bind(data), metrics or {}, loss=True)

    def _measure(self, bound: Bound, metrics: Mapping[str, Any], loss: bool) -> dict[str, float]:
        roots = [self._reduced(bound.vectors)] if loss else []
        names = ["loss"] if loss else []
        for name, expression in metrics.items():
            root = self._metric(expression, bound)
            if root.shape:
                raise ShapeError(
                    f"the metric {name!r} must be a scalar, got shape {text(root.shape)}; "
                    "take sd.mean of it"
                )
            roots.append(root)
            names.append(name)
        values = self._compute(roots, bound)
        return {name: float(v) for name, v in zip(names, values, strict=True)}

    def _metric(self, expression: Any, bound: Bound) -> Node:
        """A metric as a graph on bound data; that of a sample is averaged."""
        stable = stabilise([to_graph(as_expression(expression))], context=self._symbols)
        (root,), _ = vectorise(settle(stable), bound.vectors)
        return over_samples(root, "mean") if root.shape and bound.vectors else root

    def predict(self, expression: Any, data: Mapping[Any, Any] | None = None) -> Any:
        """The value of an expression with the trained parameters.

        Parameters
        ----------
        expression : sympy.Expr, or list of them
        data : dict
            ``{symbol: array}`` for the symbols of the expression that are not parameters.
        """
        single = not isinstance(expression, (list, tuple))
        listed = [expression] if single else expression
        graphs = [to_graph(as_expression(e)) for e in listed]
        roots = settle(stabilise(graphs, context=self._symbols))
        chosen = set(self._parameters)
        needed = [n for n in leaves(roots) if n not in chosen]
        data = {} if data is None else by_symbol(data, needed)
        check_names(needed, data)
        vectors: frozenset[Node] = frozenset()
        shape: tuple[int, ...] | None = None
        if is_scalar(roots):
            shapes = {n.attributes[0]: np.shape(data[n.attributes[0]]) for n in needed}
            shape = broadcast_shape(shapes)
            vectors = frozenset(n for n in needed if np.ndim(data[n.attributes[0]]) > 0)
            data = {
                k: np.broadcast_to(numbers(v, k), shape).reshape(-1) if np.ndim(v) else v
                for k, v in data.items()
            }
        roots, mapping = vectorise(roots, vectors)
        nodes = [mapping.get(n, n) for n in needed]
        arrays, sizes = bind(nodes, data, dtype=self._options.dtype, known=self._sizes)
        if self._flat is None:
            self._initialise({**self._known_sizes(), **sizes})
        check_labels(roots, needed, dict(zip(needed, nodes, strict=True)), arrays, sizes)
        bound = Bound(arrays, {**self._sizes, **sizes}, vectors, choose_rows(nodes), None)
        values = self._compute(roots, bound)
        if shape:
            values = [np.reshape(v, shape) if np.ndim(v) else v for v in values]
        return values[0] if single else values

    def _compute(self, roots: list[Node], bound: Bound) -> list[Any]:
        key = tuple(roots)
        if key not in self._functions:
            roots, vectors = roll(roots, self._numbers)
            symbols = leaves(roots)
            known = {*self._parameters, *vectors}
            data = [n for n in symbols if n not in known]
            kernel = FunctionKernel(roots, symbols, choose_rows(data), self._options, "values")
            self._functions[key] = kernel, symbols, vectors
        kernel, symbols, vectors = self._functions[key]
        current = self.parameters

        def value(node: Node) -> Any:
            if node in bound.arrays:
                return bound.arrays[node]
            if node in vectors:
                return np.array([current[p.attributes[0]] for p in vectors[node]])
            return np.asarray(current[node.attributes[0]])

        arrays = {n: value(n) for n in symbols}
        return kernel(arrays, {**self._sizes, **bound.sizes}, self._threads)

    # --- pickling ------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        skipped = {
            "_root", "_training_root", "_trained", "_moving", "_parameters", "_data", "_symbols",
            "_layout", "_rule", "_kernels", "_graphs", "_likely", "_functions", "_current",
            "_fitted",
        }  # fmt: skip
        return {k: v for k, v in self.__dict__.items() if k not in skipped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def __repr__(self) -> str:
        names = ", ".join(str(n.attributes[0]) for n in self._parameters)
        return f"<Trainer of {names} by {self._optimizer!r}, {self._steps} steps done>"
