"""Turn packed rows, which follow each other, into windows that overlap, and mark what an earlier window has shown."""

import numpy as np


class Windows:
    """The ids of packed rows [R, L] as windows [W, L]; each begins with the `overlap` ids that end the one before.

    The last one ends where the rows end, so it may begin with more. Nothing is copied before it is asked for.
    """

    def __init__(self, rows: np.ndarray, overlap: int) -> None:
        self.length = rows.shape[1]
        self.flat, self.step = rows.reshape(-1), self.length - overlap
        last = self.flat.size - self.length
        self.starts = np.append(np.arange(0, last, self.step), last) if rows.size else np.zeros(0, np.int64)
        self.shape = (len(self.starts), self.length)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, part: slice) -> np.ndarray:
        """The ids of some windows, [windows, L]."""
        places = self.starts[part, None] + np.arange(self.length)
        return self.flat[places]

    def seen(self, part: slice) -> np.ndarray:
        """The ids of some windows that the windows before them have shown, bool [windows, L]."""
        known = np.concatenate([[0], self.starts[:-1] + self.length])[part] - self.starts[part]
        return np.arange(self.length) < known[:, None]
