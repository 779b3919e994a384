"""The one exception that is meant for the user, and which errors of the system are the user's to mend."""

import errno
import os
import re

FULL = (errno.ENOSPC, errno.EDQUOT)
RIGHTS = "let yourself read and write it, or choose another folder (SKINSYNTH_RESULTS, SKINSYNTH_WEIGHTS)"
IN_THE_WAY = "a file lies where a folder should, or the other way round; move it away"
MENDS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), RIGHTS),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR, errno.EISDIR), IN_THE_WAY),
    errno.EIO: "the disk or its connection is broken; mend it and run again",
    errno.ESTALE: "the connection to the disk was lost; run again",
}


class UserError(Exception):
    """A mistake the user can mend: one line with the offending file or value and the remedy."""

    def _render_traceback_(self):
        """What Jupyter and papermill show: the line itself, no stack."""
        return [f"UserError: {self}"]


def number(error):
    """The system's number of an error (an exception, or its text from another program); None without one.

    safetensors and matplotlib tell it in their text only.
    """
    found = re.search(r"(?:\[Errno |\(os error )(\d+)", str(error))
    full = any(os.strerror(n) in str(error) for n in FULL)
    return int(found[1]) if found else errno.ENOSPC if full else getattr(error, "errno", None)


def of_system(error, place):
    """A UserError for what the system refuses to do with a file: no space, no right, another thing in its
    way; a UserError itself; None for other errors.

    error: an exception, or its text from another program; place: named where it names no file.
    """
    if isinstance(error, UserError):
        return error
    what, named = number(error), re.search(r": (['\"])(.+?)\1( ->|$)", str(error))
    where = named[2] if named else getattr(error, "filename", None) or place
    if what in FULL:
        return UserError(f"disk full ({where}); free space and run again")
    return UserError(f"{where}: {os.strerror(what)}; {MENDS[what]}") if what in MENDS else None
