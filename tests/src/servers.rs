//! Object servers of other people, from the Python packages that `make test` installs.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{eventually, installed};

/// A server that speaks S3, in path style and with any credentials, and ends with the test.
pub struct ObjectServer {
    child: Child,
    pub endpoint: String,
    _folder: TempDir,
}

impl ObjectServer {
    /// SeaweedFS 4.48: checks conditions and checksums.
    pub fn seaweedfs() -> Option<Self> {
        Self::start("weed", |folder, port| {
            let mut arguments = vec!["server".to_owned(), "-s3".to_owned(), "-ip=127.0.0.1".to_owned()];
            arguments.push(format!("-dir={}", folder.path().display()));
            arguments.push(format!("-s3.port={port}"));
            // It takes little, and less than its share of a disk may be free.
            arguments.push("-master.volumeSizeLimitMB=128".to_owned());
            arguments.push("-volume.minFreeSpace=64MiB".to_owned());
            // A bucket may take seven, and there are eight unless told.
            arguments.push("-volume.max=32".to_owned());
            for service in ["master", "volume", "filer"] {
                arguments.push(format!("-{service}.port={}", free_port()));
                arguments.push(format!("-{service}.port.grpc={}", free_port()));
            }
            arguments.push(format!("-s3.port.grpc={}", free_port()));
            arguments.extend(["-s3.port.iceberg=0".to_owned(), "-s3.port.lance=0".to_owned()]);
            for service in ["s3", "filer"] {
                let socket = folder.path().join(format!("{service}.sock"));
                arguments.push(format!("-{service}.localSocket={}", socket.display()));
            }
            arguments
        })
    }

    /// moto 5.2.5: checks conditions, and no checksums.
    pub fn moto() -> Option<Self> {
        Self::start("moto_server", |_, port| {
            ["-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned).to_vec()
        })
    }

    fn start(program: &str, arguments: impl Fn(&TempDir, u16) -> Vec<String>) -> Option<Self> {
        let path = installed(program)?;
        // A port that was free may be another's a moment later.
        for _ in 0..3 {
            let folder = tempfile::tempdir().expect("a folder can be made");
            let port = free_port();
            let child = Command::new(&path)
                .args(arguments(&folder, port))
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("it starts");
            let mut server = Self { child, endpoint: format!("http://127.0.0.1:{port}"), _folder: folder };
            let up = || TcpStream::connect(("127.0.0.1", port)).is_ok();
            let ended = |server: &mut Self| server.child.try_wait().expect("it can be asked").is_some();
            if eventually(Duration::from_secs(120), || up() || ended(&mut server)) && !ended(&mut server) {
                return Some(server);
            }
        }
        panic!("{program} doesn't start");
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
