//! The page at `/docs`, used in a browser.

use std::process::Command;

use ampoule_tests::{Server, has, root, said, sealed};

#[test]
fn a_person_gets_answers_from_the_page() {
    if !has("node") || !has("chromium") {
        println!("skipped: node and chromium are needed");
        return;
    }
    let test = root().join("tests/docs");
    assert!(
        test.join("node_modules").exists() || std::env::var_os("CI").is_none(),
        "make test installs playwright-core"
    );
    if !test.join("node_modules").exists() {
        println!("skipped: run `make test`");
        return;
    }
    let (iris, clouds) = (sealed("iris"), sealed("clouds"));
    let screenshots = root().join("target/screenshots");
    // Once as it is, and once with a token, which the page asks its reader for.
    for token in [None, Some("open-sesame")] {
        let variables: Vec<(&str, &str)> = token.iter().map(|token| ("AMPOULE_TOKEN", *token)).collect();
        let server = Server::start_with(&[&iris.to_string_lossy(), &clouds.to_string_lossy()], &variables);
        let output = Command::new("npm")
            .args(["test", "--silent"])
            .current_dir(&test)
            .env("AMPOULE_URL", format!("http://{}", server.address))
            .env("IMAGE", root().join("models/clouds/scenes/coast.png"))
            .env("SCREENSHOTS", &screenshots)
            .envs(variables.iter().copied())
            .output()
            .expect("npm runs");
        assert!(output.status.success(), "{}", said(&output));
    }
}
