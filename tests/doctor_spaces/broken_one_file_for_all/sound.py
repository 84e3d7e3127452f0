import soundfile as sf

OUTPUT = "output.wav"


def write(samples, rate):
    sf.write(OUTPUT, samples, rate)
    return OUTPUT
