//! `ampoule demo`: the main job, from models to answers, in one go.

mod client;
mod picture;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ampoule_host::{Host, HostConfig};
use anyhow::{Context as _, bail};

use self::client::{Client, Load};
use super::Exit;
use super::outcome::publish;
use super::seal::seal_path;
use crate::serve::{Server, Settings};

/// Seals the repository's iris and clouds models, serves them, asks them over HTTP, and masks a
/// folder of pictures.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  make demo")]
pub struct Demo {
    /// The folder of models
    #[arg(long, default_value = "models", value_name = "FOLDER")]
    models: PathBuf,
    /// Where the ampoules, the masks and the picture go
    #[arg(long, default_value = "out", value_name = "FOLDER")]
    output: PathBuf,
    /// Seconds for which each model is asked
    #[arg(long, default_value_t = 4, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// A model in the table at the end.
struct Row {
    name: String,
    bytes: usize,
    load: Duration,
    work: &'static str,
    figures: Load,
}

impl Demo {
    pub fn run(self) -> anyhow::Result<Exit> {
        let (iris, clouds) = (self.seal("iris")?, self.seal("clouds")?);
        let host = Host::new(HostConfig { cache: super::cache::folder(), ..HostConfig::default() })?;
        // The first opening compiles; what users meet is the second.
        for path in [&iris, &clouds] {
            host.open(path)?;
        }
        let models = vec![host.open(&iris)?, host.open(&clouds)?];
        let opened: Vec<(String, Duration)> =
            models.iter().map(|model| (model.name().to_owned(), model.opening().total)).collect();
        let scenes = self.models.join("clouds/scenes");
        let rows = super::runtime(None)?.block_on(async {
            let server = Server::bind(models, Settings::default()).await?;
            let address = server.address()?;
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let serving = tokio::spawn(server.run(async move {
                let _ = stopped.await;
            }));
            println!("\nserved at http://{address}");
            let figures = self.ask(address, &scenes).await;
            drop(stop);
            serving.await?;
            figures
        })?;
        self.mask(&clouds, &scenes)?;
        let picture = self.output.join("clouds.png");
        publish(&picture, &picture::sheet(&self.models.join("clouds"), &self.output.join("masks"))?)?;
        println!("{}: scene, true mask and predicted mask side by side", picture.display());

        println!(
            "\n{:<8} {:>10} {:>9} {:>11} {:>9} {:>9}  asked for",
            "model", "size", "load", "requests/s", "p50", "p99"
        );
        for ((name, load), (bytes, work, figures)) in opened.into_iter().zip(rows) {
            let row = Row { name, bytes, load, work, figures };
            println!("{}", row.line());
        }
        println!(
            "\nNext:\n  {program} serve {} {}   and open http://127.0.0.1:8080/docs\n  {program} inspect {}\n  {program} new mine --model your.onnx",
            iris.display(),
            clouds.display(),
            iris.display(),
            program = program().display(),
        );
        Ok(Exit::Done)
    }

    /// Seals a model of the repository and says where.
    fn seal(&self, name: &str) -> anyhow::Result<PathBuf> {
        let start = Instant::now();
        let folder = self.models.join(name);
        let sealed =
            seal_path(&folder, None).with_context(|| format!("is {} the repository's?", folder.display()))?;
        let path = self.output.join(format!("{name}.wasm"));
        publish(&path, sealed.bytes())?;
        println!(
            "sealed {}: {} bytes in {:.1} s, sha256:{}",
            path.display(),
            sealed.bytes().len(),
            start.elapsed().as_secs_f64(),
            sealed.digest().get(..12).unwrap_or_default()
        );
        Ok(path)
    }

    /// Asks both models over HTTP: once to be seen, then for a while to be timed.
    async fn ask(
        &self,
        address: SocketAddr,
        scenes: &Path,
    ) -> anyhow::Result<Vec<(usize, &'static str, Load)>> {
        let size = |name: &str| -> anyhow::Result<usize> {
            Ok(usize::try_from(std::fs::metadata(self.output.join(name))?.len())?)
        };
        let time = Duration::from_secs(self.seconds);
        let flower = br#"{"instances": [[5.1, 3.5, 1.4, 0.2]]}"#;
        let mut client = Client::open(address).await?;
        let answer = client.post("/predictions", "application/json", "application/json", flower).await?;
        println!(
            "POST /predictions {}\n  -> {}",
            String::from_utf8_lossy(flower),
            String::from_utf8_lossy(&answer)
        );
        let iris = client::load(address, "/predictions", "application/json", flower, time).await?;

        let scene = std::fs::read(scenes.join("fields.png")).context("can't read a scene")?;
        let route = "/models/clouds/predictions";
        let mask = client.post(route, "image/png", "image/png", &scene).await?;
        println!("POST {route} (a picture of {} bytes)\n  -> a mask of {} bytes", scene.len(), mask.len());
        let clouds = client::load(address, route, "image/png", &scene, time).await?;
        Ok(vec![
            (size("iris.wasm")?, "one flower", iris),
            (size("clouds.wasm")?, "a 256 × 256 picture", clouds),
        ])
    }

    /// Masks the scenes by the command that users have.
    fn mask(&self, clouds: &Path, scenes: &Path) -> anyhow::Result<()> {
        let masks = self.output.join("masks");
        if masks.exists() {
            std::fs::remove_dir_all(&masks).with_context(|| format!("can't empty {}", masks.display()))?;
        }
        println!(
            "\n{} batch {} {} {}",
            program().display(),
            clouds.display(),
            scenes.display(),
            masks.display()
        );
        let status =
            Command::new(std::env::current_exe()?).arg("batch").args([clouds, scenes, &masks]).status()?;
        if !status.success() {
            bail!("the batch ended with {status}");
        }
        Ok(())
    }
}

impl Row {
    fn line(&self) -> String {
        let ms = |duration: Duration| format!("{:.2} ms", duration.as_secs_f64() * 1e3);
        let mib = self.bytes as f64 / f64::from(1 << 20);
        format!(
            "{:<8} {mib:>6.2} MiB {:>9} {:>11.0} {:>9} {:>9}  {}",
            self.name,
            ms(self.load),
            self.figures.per_second,
            ms(self.figures.p50),
            ms(self.figures.p99),
            self.work
        )
    }
}

/// The command as the user can type it from where they are.
fn program() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_else(|_| "ampoule".into());
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    match here.ok().and_then(|here| program.strip_prefix(here).ok().map(Path::to_owned)) {
        Some(relative) => relative,
        None => program,
    }
}
