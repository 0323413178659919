"""What networks find similar: a picture and its nearest neighbours, one row a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clipkit.errors import ClipkitError


def neighbours(features, labels, k: int = 5):
    """(N, k) nearest other rows of unit features (N, D) by cosine, and (N,) the share of them with the row's own label.

    Raises ClipkitError for fewer than k + 1 rows.
    """
    if len(features) <= k:
        raise ClipkitError(f"{k} neighbours want at least {k + 1} pictures, got {len(features)}")
    near = (features @ features.T).fill_diagonal_(-2).topk(k, dim=1).indices
    return near, (labels[near] == labels[:, None]).float().mean(1)


def neighbour_sheet(data, features: Mapping[str, object], labels, k: int = 5, size: int | None = None) -> tuple[str, dict[str, float]]:
    """Show the picture on which the last network is most ahead of the first, and its neighbours for each, the last on top.

    Arguments: data: N pictures; features: name of the network -> (N, D); labels (N,); size: to squeeze pictures to.
    Returns: the picture's class, and for each network the percentage of neighbours of the right class over all pictures.
    """
    from clipkit.lab.pictures import image_grid

    found = {name: neighbours(x, labels, k) for name, x in features.items()}
    shares = [share for _, share in found.values()]
    i = int((shares[-1] - shares[0]).argmax())
    rows = {name: [i, *near[i].tolist()] for name, (near, _) in reversed(found.items())}
    names = [data.classnames[int(c)] for c in labels]
    titles = [f"for {name}:" if place == 0 else names[j] for name, row in rows.items() for place, j in enumerate(row)]
    alt = f"A picture of the class {names[i]} and its nearest neighbours. "
    alt += "; ".join(f"for {name}: {', '.join(names[j] for j in row[1:])}" for name, row in rows.items())
    shown = data.subset(np.array([j for row in rows.values() for j in row]))
    image_grid(list(shown.to_array(size)), titles, columns=k + 1, alt=alt)
    return names[i], {name: 100 * share.mean().item() for name, (_, share) in found.items()}
