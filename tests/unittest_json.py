"""unittest_json.py FILE REPORT: runs one unittest file, prints what fails, writes {"passed","failed","skipped":[[name,reason]…]} to REPORT."""
import importlib.util, json, pathlib, sys, unittest

file, report = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
sys.path.insert(0, str(file.parent))
spec = importlib.util.spec_from_file_location(file.stem, file)
module = importlib.util.module_from_spec(spec)
sys.modules[file.stem] = module
try:
    spec.loader.exec_module(module)
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
except unittest.SkipTest as skip:
    report.write_text(json.dumps({'passed': 0, 'failed': 0, 'skipped': [[file.stem, str(skip)]]}))
    sys.exit(0)
result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
skipped = [[test.id().split('.', 1)[-1], reason] for test, reason in result.skipped]
report.write_text(json.dumps({'passed': max(0, result.testsRun - bad - len(skipped)), 'failed': bad, 'skipped': skipped}))
sys.exit(1 if bad else 0)
