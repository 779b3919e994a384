"""Switch automatic figure numbers off: captions carry the paper's own, in any order of chapters.

jupyter-book's LaTeX part switches them on for every builder, whatever the configuration says.
"""


def off(app, config):
    config.numfig = False


def setup(app):
    app.connect("config-inited", off, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
