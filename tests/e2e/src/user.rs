//! Users that have no more than one of the chart's ClusterRoles for azwi.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::program::run;
use crate::{Namespace, TENANT, kubectl, kubectl_json};

/// A user with one role. Its binding and its kubeconfig stay until the node ends.
pub struct User {
    /// The service account, as `NAMESPACE:NAME`.
    account: String,
    kubeconfig: PathBuf,
}

impl User {
    /// A service account in this namespace, bound to a ClusterRole that the chart creates for azwi.
    ///
    /// # Panics
    ///
    /// When the chart has no such role.
    pub async fn with_role(namespace: &Namespace, role: &str) -> Self {
        run(&format!(
            "helm template azure-workload-identity deploy/chart --set azureTenantID={TENANT} \
             --set azwi.clusterRole=true --set azwi.migrationClusterRoles=true --show-only templates/azwi.yaml |
             kubectl apply -f -"
        ))
        .await;
        let name = namespace.name();
        kubectl(&["create", "serviceaccount", "-n", name, role]).await;

        let view = ["config", "view", "--raw", "--flatten", "--minify"];
        let mut config: Value = kubectl_json(&view).await;
        let token = kubectl(&["create", "token", "-n", name, role]).await;
        config["users"][0]["user"] = json!({ "token": token.trim() });
        let kubeconfig = std::env::temp_dir().join(format!("{name}-{role}.kubeconfig"));
        std::fs::write(&kubeconfig, config.to_string()).expect("the file can be written");
        let user = Self {
            account: format!("{name}:{role}"),
            kubeconfig,
        };
        user.bind(role).await;
        user
    }

    /// Gives the user a further ClusterRole.
    pub async fn bind(&self, role: &str) {
        let name = format!("{}-{role}", self.account.replace(':', "-"));
        let account = format!("--serviceaccount={}", self.account);
        let role = format!("--clusterrole={role}");
        kubectl(&["create", "clusterrolebinding", &name, &role, &account]).await;
    }

    /// A line of shell that runs azwi as this user.
    #[must_use]
    pub fn azwi(&self, arguments: &str) -> String {
        format!("KUBECONFIG={} azwi {arguments}", self.kubeconfig.display())
    }
}
