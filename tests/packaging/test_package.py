"""The Debian package: made by cpack, unpacked into a folder, run from there; the notices name everything that is linked or fetched."""
import os, pathlib, re, shutil, subprocess, tempfile, unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('WEIR_BUILD') or ROOT / 'build')


def run(*words, **more):
    return subprocess.run([str(w) for w in words], check=True, capture_output=True, text=True, **more).stdout


def source_of(package):
    return run('dpkg-query', '-W', '-f', '${source:Package}\n', package).splitlines()[0]


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not (BUILD / 'weir').exists():
            raise unittest.SkipTest('no program: scripts/build makes it')
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-package.'))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        run('cpack', '-G', 'DEB', '--config', BUILD / 'CPackConfig.cmake', '-B', cls.folder / 'made')
        cls.package, = (cls.folder / 'made').glob('*.deb')
        cls.root = cls.folder / 'root'
        run('dpkg', '-x', cls.package, cls.root)

    def test_contents(self):
        there = {str(p.relative_to(self.root)) for p in self.root.rglob('*') if p.is_file()}
        self.assertEqual(there, {'usr/bin/weir', 'etc/weir/weir.toml', 'usr/lib/systemd/system/weir.service', 'usr/share/bash-completion/completions/weir',
                                 'usr/share/zsh/vendor-completions/_weir', 'usr/share/fish/vendor_completions.d/weir.fish', 'usr/share/doc/weir/THIRD_PARTY',
                                 'usr/share/doc/weir/copyright', 'usr/share/doc/weir/weir.toml'})
        for file in there:
            self.assertGreater((self.root / file).stat().st_size, 50, file)
        unit = (self.root / 'usr/lib/systemd/system/weir.service').read_text()
        self.assertIn(f"ExecStart=/{'usr/bin/weir'} ", unit)
        self.assertIn('WEIR_CONFIG=/etc/weir/weir.toml', unit)

    def test_control(self):
        control = run('dpkg-deb', '-f', self.package)
        version = run(self.root / 'usr/bin/weir', '--version').split()[1]
        self.assertIn('Package: weir\n', control)
        self.assertIn(f'Version: {version}\n', control)
        for library in ('libc6', 'libcurl4', 'libssl3', 'libsodium23'):
            self.assertRegex(control, rf'Depends:.*\b{library}\b')
        run('dpkg', '-e', self.package, self.folder / 'control')
        self.assertEqual((self.folder / 'control/conffiles').read_text(), '/etc/weir/weir.toml\n')
        for script in ('postinst', 'prerm'):
            run('sh', '-n', self.folder / 'control' / script)

    def test_runs_with_its_configuration(self):
        env = {'PATH': '/usr/bin:/bin', 'HOME': str(self.folder), 'WEIR_CONFIG': str(self.root / 'etc/weir/weir.toml')}
        weir = [self.root / 'usr/bin/weir', '--data', self.folder / 'data', '--no-model']
        run(*weir, 'user', 'add', 'me', env=env)
        run(*weir, 'import', ROOT / 'packaging/starter.opml', env=env)
        self.assertIn('http', run(*weir, '--json', 'sources', env=env))
        run('bash', '-n', self.root / 'usr/share/bash-completion/completions/weir')

    def test_licences_name_everything(self):
        weir = self.root / 'usr/bin/weir'
        text = run(weir, '--licenses')
        self.assertEqual(text.rstrip(), (self.root / 'usr/share/doc/weir/THIRD_PARTY').read_text().rstrip())
        titles = [line for heading in re.findall(r'^={20,}\n((?:.+\n)+?)={20,}$', text, re.M) for line in heading.splitlines()]
        sources = {source_of(t) for t in titles if t.startswith('lib') or t.startswith('zlib')}
        linked = set(re.findall(r'\(NEEDED\).*\[(.+)\]', run('readelf', '-d', weir)))
        self.assertGreater(len(linked), 5)
        found = dict(re.findall(r'(\S+) => (\S+)', run('ldd', weir)))
        for library in linked:
            path = os.path.realpath(found.get(library) or '/lib64/' + library)
            owner = self.owner(path)
            self.assertIn(source_of(owner), sources, f'{library} is of {owner}')
        for name in re.findall(r'\b(?:lib|zlib)[\w.+-]*-dev\b', re.search(r'run_packages=\((.*?)\)', (ROOT / 'scripts/bootstrap').read_text(), re.S)[1]):
            self.assertIn(name, titles)
        for line in (ROOT / 'scripts/packages.lock').read_text().splitlines():
            if line.strip() and not line.startswith('#'):
                name, version = line.split()[2:4]
                self.assertTrue(any(f'{name} {version}' in title for title in titles), f'{name} {version}')

    def owner(self, path):
        """The package of a file; /lib is /usr/lib on Debian 12, and dpkg knows either name."""
        for name in (path, path.removeprefix('/usr')):
            done = subprocess.run(['dpkg-query', '-S', name], capture_output=True, text=True)
            if done.returncode == 0:
                return done.stdout.split(': ')[0]
        self.fail(f'no package has {path}')


if __name__ == '__main__':
    unittest.main()
