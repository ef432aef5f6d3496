"""What os.path would tell. ``os`` itself is not imported: it is made of ``posix``, and costs a node a millisecond."""
import posix

FOLDER, FILE, KIND = 0o040000, 0o100000, 0o170000  # S_IFDIR, S_IFREG, S_IFMT


def kind_of(path):
    """Return the kind of file that a path leads to, or 0 when it leads nowhere."""
    try:
        return posix.stat(path).st_mode & KIND
    except OSError:
        return 0


def final_name(path):
    """Return the name that a chain of symbolic links ends in."""
    for _ in range(40):
        try:
            target = posix.readlink(path)
        except OSError:
            break
        path = target if target.startswith("/") else path.rpartition("/")[0] + "/" + target
    return path.rpartition("/")[2]


def raw(path):
    """Return a path as the kernel's bytes."""
    return path.encode("utf-8", "surrogateescape")
