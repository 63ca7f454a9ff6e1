"""The graph of a small network and of its gradient, drawn as a picture.

The network has 2 inputs, 3 hidden units and 1 output. Forward steps go down on the left; on the
right the nodes that differentiation has added go up, each beside the step that it is the adjoint
of, and from each follow the gradients of its layer. You learn how to draw any model: all of it,
every operation, or a box for each layer.

    python examples/draw_gradient.py --picture draw_gradient.svg
"""

import argparse
from pathlib import Path

import symdiff as sd


def main(picture="draw_gradient.svg"):
    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n", 1)
    W1, b1 = sd.tensor("W1", 2, 3), sd.tensor("b1", 3)
    W2, b2 = sd.tensor("W2", 3, 1), sd.tensor("b2", 1)
    H = sd.sigmoid(X @ W1 + b1)
    P = sd.sigmoid(H @ W2 + b2)
    derivation = sd.derive(sd.mean((P - y) ** 2), [W1, b1, W2, b2])
    print(derivation)

    graph = derivation.graph()
    Path(picture).write_text(graph.svg(), "utf-8")
    print(f"\nThe picture is in {picture}.")
    print(f"It has {len(graph.nodes)} boxes; the other ways to draw the same are")
    others = {
        'graph("operations")': derivation.graph("operations"),
        "graph(collapse=True)": derivation.graph(collapse=True),
        "graph(collapse=True, expand=2)": derivation.graph(collapse=True, expand=2),
    }
    for call, drawing in others.items():
        print(f"  {call:<31} {len(drawing.nodes):>3} boxes")
    return {"graph": graph, **others}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", default="draw_gradient.svg", metavar="FILE")
    main(**vars(parser.parse_args()))
