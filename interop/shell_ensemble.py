def play(report, options, program):
    pass
