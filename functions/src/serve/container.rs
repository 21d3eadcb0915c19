//! [`Container`]: what the platforms that run containers ask of one, by its environment.

use anyhow::bail;

use super::Settings;
use super::sagemaker::Transform;

/// The paths of the server itself.
const OWN: [&str; 10] = [
    "/",
    "/docs",
    "/execution-parameters",
    "/health",
    "/invocations",
    "/metrics",
    "/models",
    "/openapi.json",
    "/ping",
    "/predictions",
];

/// Own paths that answer for health, and for predictions of the first model.
pub(crate) const HEALTH: [&str; 2] = ["/health", "/ping"];
pub(crate) const PREDICT: [&str; 2] = ["/predictions", "/invocations"];

/// What Vertex AI (`AIP_*`) and SageMaker (`SAGEMAKER_*`) say.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// The port to listen on.
    pub port: Option<u16>,
    pub health_route: Option<String>,
    pub predict_route: Option<String>,
    pub transform: Transform,
    /// Vertex AI runs the container: its front end decides who reaches it.
    pub vertex: bool,
}

impl Container {
    /// Reads the environment.
    ///
    /// # Errors
    /// A variable that isn't what it should be, by name.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let route = |name: &str, same: [&str; 2]| -> anyhow::Result<Option<String>> {
            match variable(name) {
                Some(path) if !path.starts_with('/') => {
                    bail!("{name}: expected a path that begins with /, got {path:?}")
                }
                Some(path)
                    if !same.contains(&path.as_str())
                        && (OWN.contains(&path.as_str()) || path.starts_with("/models/")) =>
                {
                    bail!("{name}: {path} is taken by the server itself")
                }
                path => Ok(path),
            }
        };
        let port = |name: &str| -> anyhow::Result<Option<u16>> {
            match variable(name).map(|text| (text.trim().parse(), text)) {
                None => Ok(None),
                Some((Ok(port), _)) => Ok(Some(port)),
                Some((Err(_), text)) => bail!("{name}: expected a port, got {text:?}"),
            }
        };
        let aip_port = port("AIP_HTTP_PORT")?;
        let container = Self {
            vertex: aip_port.is_some(),
            port: aip_port.or(port("SAGEMAKER_BIND_TO_PORT")?),
            health_route: route("AIP_HEALTH_ROUTE", HEALTH)?,
            predict_route: route("AIP_PREDICT_ROUTE", PREDICT)?,
            transform: Transform::from_variables(variable)?,
        };
        if container.health_route.is_some() && container.health_route == container.predict_route {
            bail!("AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE are the same path");
        }
        Ok(container)
    }

    /// Puts it into a server's settings.
    #[must_use]
    pub fn applied(self, settings: Settings) -> Settings {
        let announced = self.transform.max_payload_bytes().unwrap_or(0);
        Settings {
            health_route: self.health_route,
            predict_route: self.predict_route,
            max_body_bytes: settings.max_body_bytes.max(announced),
            max_decoded_bytes: settings.max_decoded_bytes.max(announced),
            transform: self.transform,
            ..settings
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &'static [(&'static str, &'static str)]) -> anyhow::Result<Container> {
        Container::from_variables(|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn routes_and_ports_are_followed() {
        let vertex = of(&[
            ("AIP_HTTP_PORT", "7080"),
            ("AIP_HEALTH_ROUTE", "/ping"),
            ("AIP_PREDICT_ROUTE", "/v1/endpoints/1/deployedModels/2:predict"),
        ])
        .expect("as Vertex AI sets them");
        assert!(vertex.vertex);
        assert_eq!(vertex.port, Some(7080));
        let settings = vertex.applied(Settings::default());
        assert_eq!(settings.health_route.as_deref(), Some("/ping"));
        let sagemaker = of(&[("SAGEMAKER_BIND_TO_PORT", "8081"), ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "100")]);
        let sagemaker = sagemaker.expect("as SageMaker sets them");
        assert_eq!((sagemaker.port, sagemaker.vertex), (Some(8081), false));
        assert_eq!(sagemaker.applied(Settings::default()).max_body_bytes, 100 << 20);
    }

    #[test]
    fn what_cant_be_followed_is_refused_by_name() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("AIP_HTTP_PORT", "banana")], "AIP_HTTP_PORT: expected a port, got \"banana\""),
            (&[("AIP_HEALTH_ROUTE", "health")], "AIP_HEALTH_ROUTE: expected a path that begins with /"),
            (&[("AIP_HEALTH_ROUTE", "/metrics")], "AIP_HEALTH_ROUTE: /metrics is taken"),
            (&[("AIP_PREDICT_ROUTE", "/health")], "AIP_PREDICT_ROUTE: /health is taken"),
            (&[("AIP_PREDICT_ROUTE", "/models/x")], "AIP_PREDICT_ROUTE: /models/x is taken"),
            (&[("AIP_HEALTH_ROUTE", "/a"), ("AIP_PREDICT_ROUTE", "/a")], "are the same path"),
        ];
        for (pairs, expected) in cases {
            let why = of(pairs).expect_err(expected).to_string();
            assert!(why.contains(expected), "expected {expected:?}, got {why:?}");
        }
    }
}
