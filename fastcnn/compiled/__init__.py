"""Compiled models: what load() makes of an ONNX file and the weights packed for this CPU, in one file that is mapped when it is loaded.

    Model.save("model.fcnn")        fastcnn compile model.onnx -o model.fcnn        fastcnn.load("model.fcnn")

What is in a file and why:

- the graph after all passes, in JSON, and its constants. Constants that nobody looks into stay on the disk: they are there for shapes and
  CPUs that need other packs.
- the packed weights of the plans made so far, by their keys. Steps read them where they are mapped, so that all processes of a machine
  share one copy of them. A pack is taken only where a plan says what type and size it must have, and it has that; all else is packed anew
  from the constants.
- no plans. A plan is made again from the graph, in milliseconds, and for the threads, caches and limits of the process that loads. So a
  file holds data that is checked like a model's and nothing that runs: no steps, no addresses, no pickled objects.
- the ONNX file itself, where it was one file (`source=False` leaves it out): what another version of fastcnn loads instead.

When it is loaded:

| what is found | what happens |
|---|---|
| another version of the format or of fastcnn | loaded from the ONNX file in it; FormatError where there is none |
| another CPU, instruction set or build | its packs are not taken: weights are packed as of an ONNX file |
| another checksum or size of the file's first bytes, header or whole | FormatError |
| arrays that lie outside of the file | FormatError |

Checksums of the arrays are there too, but reading them all takes as long as loading an ONNX file does: load(verify=True) does so. The file
must not be written in place or cut while models use it, as with a shared library: save() writes beside it and renames.
"""
from fastcnn.compiled.cache import Cache, cache_of
from fastcnn.compiled.read import Compiled, opened
from fastcnn.compiled.write import save

__all__ = ["Cache", "Compiled", "cache_of", "opened", "save"]
